"""How identities are removed: profiles, pseudonyms, clean copies, and the search for what is left."""
