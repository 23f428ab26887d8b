"""Apache Kafka for the tests: no Docker, the broker's jars come from Maven Central and run on loopback ports."""
