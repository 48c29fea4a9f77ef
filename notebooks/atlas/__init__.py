"""What the loss atlas and the noise atlas compute and draw; library code is in `losslab`."""
