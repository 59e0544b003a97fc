"""What is written from the repository into the repository: tables of its documents, hashes of its patches."""
