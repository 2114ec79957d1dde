"""The `allotrope` command."""
