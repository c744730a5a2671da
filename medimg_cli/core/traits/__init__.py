"""What images are besides their anatomy, and how well it tells a class."""
