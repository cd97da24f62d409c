"""Whether a strategy is honest: looks ahead, or has too little history."""
