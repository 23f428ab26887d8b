"""What to decide: the four IRM-PASS steps and the risk domain they decide with. Pure and synchronous."""
