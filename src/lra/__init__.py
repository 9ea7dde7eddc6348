"""Long Range Arena: diagonal and structured state space models, reproduced and recorded."""
