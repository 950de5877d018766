"""The only room that goes to the network: a hub's listings and files. Knows no stage, no engine and no store name."""
