"""What every feature map of a network looks for, over a whole set of photos: on disk, read back, and on paper."""
