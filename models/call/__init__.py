"""One wanted reply from one model: attempts, retries, streams, and whether a reply can be used."""
