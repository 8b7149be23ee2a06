"""Read what others wrote about videos: manifests, folders, published annotations."""
