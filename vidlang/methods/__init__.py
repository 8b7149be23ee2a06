"""One folder per paper. A method sees tensors, masks and a frozen text tower; files, tokenizers and screens are handed to it."""
