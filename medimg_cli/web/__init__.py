"""Pages medimg serves to a browser on this machine."""
