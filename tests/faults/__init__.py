"""What can go wrong at the border's machines, made to happen on Apache Kafka, and an account of every record."""
