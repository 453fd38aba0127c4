"""Rules about who may import whom, and the proof that breaking them is noticed."""
