// Placeholder: this room is being built.
print("idefix")
