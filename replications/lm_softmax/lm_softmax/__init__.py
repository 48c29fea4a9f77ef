"""What only the LM-Softmax notebook needs: theory, trained networks looked into, trainings of its own, figures."""
