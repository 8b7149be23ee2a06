"""Decode and encode pixels; the only room that opens videos.

``reader.open_video`` gives frames with their index and presentation seconds, ``snippets.open_snippets`` the frames that
stand for each snippet, ``writer.write_video`` the way back. The frames are always the right ones: whatever decoder
reads, they equal an in-order decode of the file from its start.

Clock: seconds of presentation, zero at the first frame; a frame lasts until the next one starts.
"""
