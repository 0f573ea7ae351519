package nightly

const maxrssUnit = 1 // macOS reports bytes
