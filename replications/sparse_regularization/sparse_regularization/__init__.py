"""What only this notebook needs: its theory as numbers, its figures, its small experiments."""
