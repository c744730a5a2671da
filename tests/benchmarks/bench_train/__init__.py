"""Whole commands from a raw folder of images to a trained model, beside what a user would pick instead."""
