"""The versions, oldest first. Each is written by hand, and a stored file of each is tested."""
