"""What training images are varied by, and what is shown and averaged by the same means."""
