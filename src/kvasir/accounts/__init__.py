"""Who may do what: users, their credentials, and their rights on collections."""
