"""Models: encoder, backbone of residual blocks, head. Signals inside are (B, H, L)."""
