"""What a network costs and what it scores."""
