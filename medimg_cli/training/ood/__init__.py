"""References of the training images, against which new ones are compared."""
