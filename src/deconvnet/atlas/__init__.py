"""What every feature map of a network looks for, over a whole data set."""
