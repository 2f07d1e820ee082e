package progress

// UTF8Locale exports utf8Locale for tests.
var UTF8Locale = utf8Locale
