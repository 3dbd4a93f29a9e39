"""Claims about deep linear networks, which stand behind those of the experiment that trains them."""
