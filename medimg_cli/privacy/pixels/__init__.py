"""Text burned into pixels: where it may stand, what it says, and what that means."""
