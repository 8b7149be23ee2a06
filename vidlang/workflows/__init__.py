"""One verb, one function: each walks the data through the rooms in the order of the road it names."""
