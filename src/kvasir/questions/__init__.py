"""What was asked: the queue of questions, their mail, and the log of answers."""
