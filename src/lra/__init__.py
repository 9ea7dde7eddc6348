"""Long Range Arena: diagonal and structured state space models, reproduced and recorded."""

import os

# Before torch is imported: threads that wait sleep instead of spinning. With the cores busy elsewhere a training
# step on two threads is three times as fast for it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
