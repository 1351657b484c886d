"""The commands of `interp`: each parses, calls one library function, saves, and prints a readable answer."""
