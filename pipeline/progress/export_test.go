package progress

// UTF8Locale is for the tests.
var UTF8Locale = utf8Locale
