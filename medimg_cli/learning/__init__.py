"""The torch wing: networks, augmentation, the training loop, and predictions from pixels."""
