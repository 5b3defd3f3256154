"""What has a name: bundled weights with their manifests, published checkpoints, the hub."""
