"""What is done with a whole data set before any training: looked at, and copied at another size."""
