"""Images that are copies of one another, exactly or nearly."""
