/* One line of key=value pairs to stderr, with a journald priority prefix ("<6>").
 *
 *     log_event(LOG_INFO, "link.up", "peer=%s channel=%s", peer, id);
 *     -> <6>event=link.up peer=hostb channel=1f2e
 *
 * Values with spaces are quoted by the caller as \"%s\"; control characters are replaced, so that
 * no peer can forge a line. Never log a secret or guest data.
 * Threads: any.
 */
#ifndef CULVERT_BASE_LOG_H
#define CULVERT_BASE_LOG_H

enum log_level { LOG_ERROR = 3, LOG_WARNING = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

/** Lines above @level (less urgent) are not written. Default LOG_INFO */
void log_set_level(enum log_level level);

/** @event a dotted word; @format key=value pairs, or "" */
void log_event(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * As log_event(), for what others on the network can cause as often as they like: LOG_LIMITED_COUNT
 * lines at once for each @event, and one each LOG_LIMITED_MS after that. So nobody can fill a disk,
 * or hide one kind of event behind another; and a host that is emptied of its guests still has a
 * line for each. How many were left out is told with the next, in an event "log.suppressed".
 */
void log_event_limited(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define LOG_LIMITED_COUNT 300
#define LOG_LIMITED_MS    200

#endif
