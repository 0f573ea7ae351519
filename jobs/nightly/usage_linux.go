package nightly

const maxrssUnit = 1024 // Linux reports kilobytes
