"""Kvasir answers questions from your own documents and shows where each answer stands."""
