/* The source's end of the stream from QEMU to QEMU, or of its streams: laid once, and again after
 * post-copy was interrupted. */
#ifndef CULVERT_DAEMON_OUTGOING_STREAM_H
#define CULVERT_DAEMON_OUTGOING_STREAM_H

#include "daemon/outgoing_end.h"

/** Ask the destination for its end, and lay the stream to it; an earlier one is dropped */
int outgoing_stream_lay(struct outgoing *outgoing, struct error *err);

/** Of the streams of memory together. @returns  whether there are any, or have been */
bool outgoing_stream_progress(const struct outgoing *outgoing, struct channel_progress *progress);

/** All streams of this migration together, for the operator */
void outgoing_stream_publish(struct outgoing *outgoing);

/** Whether each has a connection */
bool outgoing_stream_linked(const struct outgoing *outgoing);

/** Whether there is none any more, or one has ended */
bool outgoing_stream_ended(const struct outgoing *outgoing);

/** End and drop it */
void outgoing_stream_end(struct outgoing *outgoing);

#endif
