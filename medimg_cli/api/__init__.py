"""The public Python API, what `import medimg_cli as medimg` offers: `medimg_cli.__init__` hands it out by name."""
