"""From a command to its effect on the other side of a broker, whatever dies in between."""
