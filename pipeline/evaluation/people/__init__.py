"""What people say of methods: paired comparisons of the same photo, and what follows from them."""
