"""The torch wing: networks, augmentation, the training loop, and predictions from pixels."""

import os

# Read by torch's OpenMP library when it loads, so this stands before any import of torch. Its threads spin while
# they wait, long enough to starve each other when something else runs on the same cores: a training step took
# 13 times as long beside another process, and no longer than it must with this; alone, the two are equal.
os.environ.setdefault("GOMP_SPINCOUNT", "6000")
