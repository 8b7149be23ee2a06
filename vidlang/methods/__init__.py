"""One folder per paper. A method sees tensors, masks and a frozen text tower; it opens no file and prints nothing."""
