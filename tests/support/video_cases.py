"""Test videos for the reader: one line per case, with arguments of ffmpeg.

A case has a name with the extension of the file, the arguments between ffmpeg's input and its
output, and, if one run is not enough, arguments of further runs, each on the output of the previous
one. Arguments before a bar precede the input: `"-ss 1 | -c copy"`. Input 0 is numbered pictures
(`stamped.stamp`); input 1, if `sound` is set, a tone of equal duration.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Instructions for making a file, and known properties of it."""

    name: str
    words: str
    then: tuple[str, ...] = ()
    """Arguments of further ffmpeg runs, each on the output of the previous one."""
    via: str = ""
    """Extension of the intermediate files, if it differs from that of the name."""
    size: tuple[int, int] = (160, 120)
    frames: int = 30
    rate: str = "25"
    sound: bool = False
    keep: float = 1.0
    """Share of the file's bytes to keep; below one, the file is truncated."""
    twice: bool = False
    """The file is concatenated with itself, as in joined recordings."""
    damaged: bool = False
    """The file does not decode completely: bad packets and missing frames are expected."""
    steady: bool = False
    """Times follow from the rate, because ffprobe reports none; see the comment of the case."""
    index: int | None = None
    """Stream index for PyAV, if it differs from that of the ffmpeg command."""
    error: float = 3.0
    """Maximum mean difference from ffmpeg's pictures, of 255; exceptions have a comment."""
    turned: tuple[int, bool] | None = None
    """Display matrix of the file: counterclockwise degrees, and whether to mirror afterwards."""
    plain: bool = True
    """Pictures are also compared with those of PyAV; otherwise only with those of ffmpeg."""
    toned: bool = False
    """HDR: only the numbers in pictures are compared, because ffmpeg does no tone mapping."""


X264 = "-c:v libx264 -preset ultrafast"
X265 = "-c:v libx265 -preset ultrafast -x265-params log-level=none"
VP8 = "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 1M"
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 1M"
SVT = "-c:v libsvtav1 -preset 12"
AOM = "-c:v libaom-av1 -cpu-used 8 -usage realtime -b:v 1M"

# AVI and ASF store decoding times; with reordering ffprobe reports fewer times than frames.
# The clock of a raw H.261 stream is 30000/1001, which ffprobe ignores.
STEADY = {"h264_b2.avi", "h264_b2.asf", "mpeg1.avi", "h261.h261"}

# The Theora encoder of FFmpeg 5.1 drifts from its input; later versions do not.
DRIFT = 9.0

# Arguments of an encoder, and file extensions of the containers to test.
CODECS = {
    "h264": (f"{X264} -g 12 -bf 0", "mp4 mov mkv avi ts m2ts flv f4v nut 3gp asf h264 mxf vob"),
    "h264_b2": (f"{X264} -g 12 -bf 2", "mp4 mov mkv avi ts m2ts flv nut asf h264 mxf wtv"),
    "hevc": (f"{X265}:keyint=12:bframes=0", "mp4 mov mkv ts nut hevc"),
    "hevc_b3": (f"{X265}:keyint=12:bframes=3", "mp4 mkv ts nut hevc"),
    "mpeg1": ("-c:v mpeg1video -g 9", "mpg ts avi mkv m1v"),
    "mpeg2": ("-c:v mpeg2video -g 9", "mpg vob ts m2ts mkv avi mp4 nut mxf m2v"),
    "mpeg2_b2": ("-c:v mpeg2video -g 9 -bf 2", "mpg vob ts m2ts mkv avi mp4 nut mxf m2v"),
    "mpeg4": ("-c:v mpeg4 -g 12", "mp4 mov mkv avi ts nut 3gp asf m4v"),
    "mpeg4_b2": ("-c:v mpeg4 -g 12 -bf 2", "mp4 mkv avi ts nut m4v"),
    "xvid": ("-c:v libxvid -g 12 -bf 2", "avi mkv"),
    "vp8": (f"{VP8} -g 12", "webm mkv ivf ogg avi nut"),
    "vp8_alt": ("-c:v libvpx -deadline good -auto-alt-ref 1 -lag-in-frames 8", "webm ivf mkv"),
    "vp9": (f"{VP9} -g 12", "webm mkv mp4 ivf nut"),
    "vp9_alt": (
        "-c:v libvpx-vp9 -deadline good -cpu-used 5 -auto-alt-ref 1 -lag-in-frames 12",
        "webm mp4 ivf",
    ),
    "av1_svt": (f"{SVT} -g 12", "mp4 mkv webm ivf"),
    "av1_aom": (f"{AOM} -g 12", "mp4 webm obu"),
    "prores": ("-c:v prores_ks", "mov mkv nut"),
    "mjpeg": ("-c:v mjpeg", "avi mov mkv mjpeg nut asf"),
    "jpeg2000": ("-c:v jpeg2000", "mov avi mkv"),
    "ffv1": ("-c:v ffv1", "mkv avi nut mov"),
    "ffvhuff": ("-c:v ffvhuff", "avi mkv"),
    "huffyuv": ("-c:v huffyuv", "avi mkv"),
    "utvideo": ("-c:v utvideo", "avi mkv mov"),
    "magicyuv": ("-c:v magicyuv", "avi"),
    "png": ("-c:v png", "mov avi mkv"),
    "apng": ("-c:v apng", "apng"),
    "gif": ("", "gif"),
    "theora": ("-c:v libtheora -g 12", "ogv ogg mkv nut"),
    "h261": ("-c:v h261 -s 176x144", "avi mkv h261"),
    "h263": ("-c:v h263 -s 176x144", "avi 3gp mov h263"),
    "h263p": ("-c:v h263p", "avi mkv"),
    "wmv1": ("-c:v wmv1", "wmv avi mkv"),
    "wmv2": ("-c:v wmv2", "wmv avi mkv"),
    "msmpeg4v2": ("-c:v msmpeg4v2", "avi wmv"),
    "msmpeg4v3": ("-c:v msmpeg4", "avi wmv mkv"),
    "flv1": ("-c:v flv", "flv avi mkv"),
    "rawvideo": ("-c:v rawvideo -pix_fmt yuv420p", "avi nut mkv"),
    "raw_rgb": ("-c:v rawvideo -pix_fmt bgr24", "avi nut mov"),
    "y4m": ("-pix_fmt yuv420p", "y4m"),
    "v210": ("-c:v v210", "mov avi"),
    "cinepak": ("-c:v cinepak", "avi mov mkv"),
    "qtrle": ("-c:v qtrle", "mov"),
    "svq1": ("-c:v svq1", "mov"),
    "msvideo1": ("-c:v msvideo1", "avi"),
    "zmbv": ("-c:v zmbv", "avi mkv"),
    "flashsv": ("-c:v flashsv", "flv"),
    "snow": ("-c:v snow -strict -2", "avi nut"),
    "rv10": ("-c:v rv10 -s 176x144", "rm"),
    "rv20": ("-c:v rv20 -s 176x144", "rm"),
    "vc2": ("-c:v vc2 -strict -1", "mkv ts mov"),
    "cfhd": ("-c:v cfhd -pix_fmt yuv422p10", "mov avi"),
    "hap": ("-c:v hap", "mov"),
    "ljpeg": ("-c:v ljpeg -strict -1", "avi"),
    "amv": ("-c:v mjpeg -pix_fmt yuvj420p -huffman default", "avi"),
}
# Arguments of an audio encoder, and file extensions of the containers to test.
SOUNDS = {
    "aac": ("-c:a aac", "mp4 mov mkv ts flv avi nut"),
    "mp3": ("-c:a libmp3lame", "mp4 mkv avi flv ts"),
    "mp2": ("-c:a mp2", "mpg vob ts mkv avi mp4"),
    "opus": ("-c:a libopus", "mkv mp4 ts webm"),
    "vorbis": ("-c:a libvorbis", "mkv ogg"),
    "flac": ("-c:a flac -strict -2", "mkv mp4"),
    "alac": ("-c:a alac", "mov mkv"),
    "ac3": ("-c:a ac3", "mkv ts vob mp4"),
    "pcm": ("-c:a pcm_s16le", "mov avi mkv nut"),
    "wma": ("-c:a wmav2", "wmv"),
    "amr": ("-c:a libopencore_amrnb -ar 8000 -ac 1", "3gp"),
    "adpcm": ("-c:a adpcm_ms", "avi mkv"),
    "adpcm_swf": ("-c:a adpcm_swf -ar 22050", "flv"),
    "ulaw": ("-c:a pcm_mulaw -ar 8000", "mov avi"),
}
_PICTURES_FOR = {
    "mpg": "-c:v mpeg2video",
    "vob": "-c:v mpeg2video -bf 2",
    "webm": VP8,
    "ogg": "-c:v libtheora",
    "wmv": "-c:v wmv2",
    "flv": "-c:v flv",
}

TAGS = "-bsf:v h264_metadata=matrix_coefficients"
CUT = "-ss 0.55 | -c copy"
SLOWER = "-vf settb=1/90000,setpts=N*N*0.01/TB -vsync passthrough"
FRAGMENTS = "-movflags frag_keyframe+empty_moov"

STRUCTURES = [
    # key frames
    Case("one_key.mp4", f"{X264} -g 999 -bf 2"),
    Case("one_key.ts", f"{X264} -g 999 -bf 2"),
    Case("one_key.mkv", f"{X264} -g 999 -bf 0"),
    Case("one_key_mpeg2.mpg", "-c:v mpeg2video -g 600 -bf 2"),
    Case("intra_only.mp4", f"{X264} -g 1"),
    Case("intra_only.ts", f"{X264} -g 1"),
    Case("intra_refresh.mp4", f"{X264} -g 15 -bf 0 -x264-params intra-refresh=1"),
    Case("intra_refresh.ts", f"{X264} -g 15 -bf 0 -x264-params intra-refresh=1"),
    *(
        Case(
            f"open_gop.{e}",
            f"{X264} -g 10 -bf 3 -x264-params open-gop=1:b-pyramid=normal",
            steady=e == "avi",
        )
        for e in ("mp4", "mkv", "ts", "avi", "flv", "h264")
    ),
    *(
        Case(f"open_gop_hevc.{e}", f"{X265}:keyint=10:bframes=4:open-gop=1:b-pyramid=1")
        for e in ("mp4", "mkv", "ts", "hevc")
    ),
    Case(
        "closed_gop_mpeg2.mpg", "-c:v mpeg2video -g 10 -bf 2 -flags +cgop -sc_threshold 1000000000"
    ),
    Case("pyramid.mp4", f"{X264} -g 30 -bf 5 -x264-params b-pyramid=strict:b-adapt=0"),
    Case("pyramid.mkv", f"{X264} -g 30 -bf 7 -x264-params b-pyramid=normal:b-adapt=0 -refs 6"),
    Case("three_b.mp4", "-c:v libx264 -preset veryfast -g 20 -bf 3"),
    Case("lookahead.mp4", "-c:v libx264 -preset medium -g 25"),
    Case("slices.mp4", f"{X264} -slices 4 -g 8 -bf 2"),
    Case("no_delay.mp4", f"{X264} -tune zerolatency"),
    *(
        Case(f"longer.{e}", f"{words} -g 50 -bf 2", frames=400, size=(96, 64), steady=e == "avi")
        for e, words in (
            ("mp4", X264),
            ("mkv", X264),
            ("ts", X264),
            ("avi", X264),
            ("flv", X264),
            ("mpg", "-c:v mpeg2video"),
        )
    ),
    # streams
    Case("sound_first.mp4", f"-map 1 -map 0 {X264} -bf 2 -c:a aac", sound=True),
    Case("sound_first.mkv", f"-map 1 -map 0 {X264} -bf 2 -c:a aac", sound=True),
    Case("sound_first.ts", f"-map 1 -map 0 {X264} -bf 2 -c:a aac", sound=True),
    Case("sound_first.avi", "-map 1 -map 0 -c:v mpeg4 -c:a libmp3lame", sound=True),
    Case("sound_first.nut", f"-map 1 -map 0 {X264} -bf 3 -c:a aac", sound=True),
    Case("two_videos.mp4", f"-map 0 -map 0 {X264} -bf 2 -filter:v:1 trim=start_frame=9"),
    Case(
        "second_default.mp4",
        f"-map 0 -map 0 {X264} -bf 2 -filter:v:1 trim=start_frame=9 "
        "-disposition:v:0 0 -disposition:v:1 default",
    ),
    Case(
        "second_default.mkv",
        f"-map 0 -map 0 {X264} -filter:v:1 reverse -disposition:v:0 0 -disposition:v:1 default",
    ),
    Case(
        "longer_second.mkv",
        f"-map 0 -map 0 {X264} -filter:v:0 trim=end_frame=9 -disposition:v 0",
    ),
    Case("longer_second.ts", f"-map 0 -map 0 {X264} -filter:v:0 trim=end_frame=9"),
    Case(
        "cover_last.mp4",
        "-map 0 -map 0 -c:v:0 libx264 -preset ultrafast -c:v:1 mjpeg -frames:v:1 1 "
        "-disposition:v:1 attached_pic",
    ),
    Case(
        "cover_first.mp4",
        "-map 0 -map 0 -c:v:1 libx264 -preset ultrafast -c:v:0 mjpeg -frames:v:0 1 "
        "-disposition:v:0 attached_pic",
    ),
    Case(
        "cover.mkv",
        "-map 0 -map 0 -c:v:0 libx264 -preset ultrafast -c:v:1 mjpeg -frames:v:1 1 "
        "-disposition:v:1 attached_pic",
    ),
    Case("two_sounds.mkv", f"-map 0 -map 1 -map 1 {X264} -c:a:0 libopus -c:a:1 aac", sound=True),
    Case("timecode.mov", f"{X264} -bf 2 -timecode 01:00:00:00"),
    Case("hints.mp4", f"{X264} -bf 2 -c:a aac -movflags rtphint", sound=True),
    # time offsets
    *(
        Case(f"late{offset}.{e}", f"{X264} -g 10 -bf 2 -output_ts_offset {offset}")
        for e in ("mp4", "mkv", "ts", "nut", "flv")
        for offset in ("3", "40000")
    ),
    Case("late3.mpg", "-c:v mpeg2video -bf 2 -output_ts_offset 3"),
    Case("wrap.ts", f"{X264} -g 10 -bf 2 -output_ts_offset 95443.2"),
    Case("wrap.mpg", "-c:v mpeg2video -bf 2 -output_ts_offset 95443.2"),
    *(
        Case(
            f"negative.{e}",
            f"{X264} -g 10 -bf 2 -output_ts_offset -0.5 -avoid_negative_ts disabled",
            steady=e == "mkv",  # it does not support negative times, and ffprobe reports none
        )
        for e in ("mp4", "mov", "mkv", "ts")
    ),
    Case("negative_cts.mp4", f"{X264} -bf 2 -movflags negative_cts_offsets"),
    Case("no_edits.mp4", f"{X264} -bf 2 -use_editlist 0"),
    *(
        Case(f"late_pictures.{e}", f"{X264} -bf 2 -c:a aac", ("-itsoffset 0.6 | -map 0:v -c copy",))
        for e in ("mp4", "mkv", "ts")
    ),
    # parts of a file
    *(
        Case(f"skipped_start.{e}", f"{X264} -g 10 -bf 2", (CUT,))
        for e in ("mp4", "mov", "mkv", "nut", "flv")
    ),
    Case("skipped_start_one_key.mp4", f"{X264} -g 999 -bf 2", (CUT,)),
    Case("skipped_start_hevc.mp4", f"{X265}:keyint=10:bframes=3", (CUT,)),
    Case(
        "skipped_start_sound.mp4",
        f"{X264} -g 10 -bf 2 -c:a aac",
        (CUT,),
        sound=True,
    ),
    *(
        Case(f"skipped_open_gop.{e}", f"{X264} -g 10 -bf 3 -x264-params open-gop=1", (CUT,))
        for e in ("mp4", "mkv", "ts", "flv")
    ),
    *(
        Case(f"skipped_open_gop_hevc.{e}", f"{X265}:keyint=10:bframes=4:open-gop=1", (CUT,))
        for e in ("mp4", "mkv", "ts")
    ),
    *(
        Case(f"skipped_start_mpeg2.{e}", "-c:v mpeg2video -g 10 -bf 2", (CUT,))
        for e in ("mpg", "ts", "mkv", "mp4", "m2v")
    ),
    *(
        Case(f"skipped_start_{codec}.{e}", words, (CUT,))
        for codec, e, words in (
            ("mpeg4", "avi", "-c:v mpeg4 -g 10 -bf 2"),
            ("mpeg4", "mp4", "-c:v mpeg4 -g 10 -bf 2"),
            ("vp9", "webm", f"{VP9} -g 10"),
            ("av1", "webm", f"{SVT} -g 10"),
            ("prores", "mov", "-c:v prores_ks"),
            ("ffv1", "mkv", "-c:v ffv1 -g 10"),
        )
    ),
    Case("copyts.mkv", f"{X264} -g 10 -bf 2", ("-ss 0.55 -copyts | -c copy",)),
    Case("copyts.mp4", f"{X264} -g 10 -bf 2", ("-ss 0.55 -copyts | -c copy",)),
    Case("copyts.ts", f"{X264} -g 10 -bf 2", ("-ss 0.55 -copyts | -c copy",)),
    Case("ended_early.mp4", f"{X264} -g 10 -bf 3", ("| -c copy -t 0.83",)),
    Case("ended_early.mkv", f"{X264} -g 10 -bf 3", ("| -c copy -t 0.83",)),
    *(
        Case(
            f"from_no_key.{e}",
            f"{X264} -g 10 -bf 2",
            ("| -c copy -ss 0.2 -copyinkf",),
            damaged=True,
        )
        for e in ("mkv", "ts", "mp4")
    ),
    Case(
        "from_no_key.mpg",
        "-c:v mpeg2video -g 10 -bf 2",
        ("| -c copy -ss 0.2 -copyinkf",),
        damaged=True,
    ),
    *(
        Case(f"cut_short.{e}", f"{X264} -g 10 -bf 2", keep=0.6, damaged=True, steady=e == "avi")
        for e in ("mkv", "ts", "avi", "flv", "h264", "nut")
    ),
    *(
        Case(f"cut_at_{share}.{e}", f"{X264} -g 10 -bf 2", keep=share, damaged=True)
        for share in (0.3, 0.8, 0.95)
        for e in ("mkv", "ts", "flv", "nut")
    ),
    Case("cut_short.mp4", f"{X264} -g 10 -bf 2 -movflags faststart", keep=0.6, damaged=True),
    Case("cut_short_fragments.mp4", f"{X264} -g 10 -bf 2 {FRAGMENTS}", keep=0.6, damaged=True),
    Case("cut_short.mpg", "-c:v mpeg2video -bf 2", keep=0.6, damaged=True),
    Case("cut_short.webm", VP8, keep=0.6, damaged=True),
    Case("cut_short.ogv", "-c:v libtheora -g 12", keep=0.6, damaged=True),
    *(
        # Times jump back at the joint; in TS, the packet counter suggests a lost packet.
        Case(f"joined.{e}", words, twice=True, steady=True, damaged=e == "ts")
        for e, words in (
            ("ts", f"{X264} -g 10 -bf 0"),
            ("mpg", "-c:v mpeg2video -g 10"),
            ("h264", f"{X264} -g 10 -bf 2"),
            ("hevc", f"{X265}:keyint=10:bframes=3"),
            ("m2v", "-c:v mpeg2video -g 10 -bf 2"),
            ("mjpeg", "-c:v mjpeg"),
        )
    ),
    Case("joined_b2.ts", f"{X264} -g 10 -bf 2", twice=True, steady=True, damaged=True),
    # layouts of MP4 and Matroska
    Case("fragments.mp4", f"{X264} -g 10 -bf 2 {FRAGMENTS}"),
    Case("fragments_each.mp4", f"{X264} -g 10 -bf 2 -movflags frag_every_frame+empty_moov"),
    Case("fragments_base.mp4", f"{X264} -g 10 {FRAGMENTS}+default_base_moof -frag_duration 200000"),
    Case("fragments_late.mp4", f"{X264} -g 10 -bf 2 -movflags frag_keyframe+delay_moov"),
    Case("cmaf.mp4", f"{X264} -g 10 -bf 2 -movflags +cmaf"),
    Case("dash.mp4", f"{X264} -g 10 -bf 2 -movflags +dash+frag_keyframe"),
    Case("fragments_sound.mp4", f"{X264} -g 10 -bf 2 -c:a aac {FRAGMENTS}", sound=True),
    Case("smooth.ismv", f"{X264} -g 10 -bf 2"),
    Case("faststart.mp4", f"{X264} -g 10 -bf 2 -movflags faststart"),
    Case("live.webm", f"{VP8} -g 12 -live 1"),
    Case("live.mkv", f"{X264} -bf 2 -live 1"),
    Case("clusters.mkv", f"{X264} -bf 2 -cluster_time_limit 100"),
    Case("index_first.mkv", f"{X264} -bf 2 -reserve_index_space 5000"),
    # FFmpeg 5.1 does not list the still picture that precedes the track.
    Case("animated.avif", f"{AOM} -g 12", index=1),
    # clocks
    *(
        Case(f"clock_{scale}.mp4", f"{X264} -bf 2 -video_track_timescale {scale}", rate=rate)
        for scale, rate in (("1000", "25"), ("90000", "30000/1001"), ("1001", "24"), ("600", "50"))
    ),
    *(
        Case(f"ntsc.{e}", f"{X264} -bf 2", rate="30000/1001", steady=e == "avi")
        for e in ("mp4", "mkv", "ts", "avi", "flv", "mov")
    ),
    Case("ntsc.gif", "", rate="30000/1001"),
    Case("fast.mkv", f"{X264} -bf 2", rate="240"),
    Case("fast.mp4", f"{X264} -bf 2", rate="1000"),
    Case("slow.mp4", f"{X264} -bf 2", rate="1/7", frames=12),
    Case("slow.mkv", f"{X264} -bf 2", rate="1/70", frames=12),
    Case("slow.avi", "-c:v mpeg4", rate="1/2", frames=12),
    # variable rates
    *(
        Case(f"dropped.{e}", f"{words} -vf select='mod(n\\,5)*mod(n\\,7)' -vsync vfr")
        for e, words in (
            ("mp4", f"{X264} -bf 2"),
            ("mkv", f"{X264} -bf 2"),
            ("ts", f"{X264} -bf 2"),
            ("flv", f"{X264} -bf 2"),
            ("webm", VP9),
            ("mpg", "-c:v mpeg2video -bf 2"),
            ("nut", f"{X264} -bf 2"),
            ("gif", ""),
            ("apng", ""),
            ("avi", "-c:v mpeg4"),
            ("asf", "-c:v wmv2"),
        )
    ),
    Case("dropped_b2.avi", f"{X264} -bf 2 -vf select='mod(n\\,5)*mod(n\\,7)' -vsync vfr"),
    Case("dropped_mpeg4_b2.avi", "-c:v mpeg4 -bf 2 -vf select='mod(n\\,9)' -vsync vfr"),
    Case("dropped_hevc.mp4", f"{X265}:bframes=3 -vf select='mod(n\\,5)' -vsync vfr"),
    Case(
        "ever_slower.mkv",
        f"{X264} -bf 2 {SLOWER} -enc_time_base 1/1000",
    ),
    Case(
        "ever_slower.mp4",
        f"{X264} -bf 2 {SLOWER} -enc_time_base 1/90000 -video_track_timescale 90000",
    ),
    Case(
        "long_gap.mp4",
        f"{X264} -bf 2 -vf setpts='(N+if(gt(N\\,15)\\,2500\\,0))/25/TB' -vsync passthrough",
    ),
    *(
        Case(
            f"gap_of_hours.{e}",
            f"{X264} -bf 2 -vf setpts='(N+if(gt(N\\,15)\\,25*25200\\,0))/25/TB' -vsync passthrough",
        )
        for e in ("ts", "mkv")
    ),
    Case("as_decoded.mkv", f"{X264} -bf 2", ("| -c copy -bsf:v setts=pts=DTS",)),
    Case("as_decoded.mp4", f"{X264} -bf 2", ("| -c copy -bsf:v setts=pts=DTS",)),
    Case("as_decoded.ts", f"{X264} -bf 2", ("| -c copy -bsf:v setts=pts=DTS",)),
    Case("as_decoded_pyramid.mkv", f"{X264} -bf 5", ("| -c copy -bsf:v setts=pts=DTS",)),
    Case(
        "twice.mkv",
        f"{X264} -bf 0",
        ("| -c copy -bsf:v setts=ts='if(eq(N\\,9)\\,PREV_OUTPTS\\,TS)'",),
    ),
    Case(
        "twice.ts",
        f"{X264} -bf 0",
        ("| -c copy -bsf:v setts=pts='if(eq(N\\,9)\\,PREV_OUTPTS\\,PTS)'",),
    ),
    Case("jump.mkv", f"{X264} -bf 0", ("| -c copy -bsf:v setts=ts='TS+gt(N\\,15)*5000'",)),
    Case("jump.ts", f"{X264} -bf 2", ("| -c copy -bsf:v setts=ts='TS+gt(N\\,15)*900000'",)),
    Case("no_times.mp4", f"{X265}:bframes=3", ("-fflags +genpts | -c copy",), via="hevc"),
    Case("no_times_h264.mp4", f"{X264} -bf 2", ("-fflags +genpts | -c copy",), via="h264"),
    Case("no_times_h264.mkv", f"{X264} -bf 0", ("-fflags +genpts | -c copy",), via="h264"),
    # interlaced
    *(
        Case(
            f"interlaced_{field}.{e}",
            f"{X264} -g 10 -bf 2 -x264-params {field}=1 -flags +ilme+ildct",
        )
        for field in ("tff", "bff")
        for e in ("mp4", "ts", "mkv")
    ),
    Case("interlaced_mpeg2.ts", "-c:v mpeg2video -g 9 -bf 2 -flags +ilme+ildct -top 1"),
    Case("interlaced_mpeg2.mpg", "-c:v mpeg2video -g 9 -bf 2 -flags +ilme+ildct -top 0"),
    Case("telecine.ts", f"{X264} -bf 2 -x264-params pic-struct=1:fake-interlaced=1"),
    Case("interlaced_prores.mov", "-c:v prores_ks -flags +ildct -top 1"),
    # sizes
    *(
        Case(f"size_{w}x{h}.{e}", words, size=(w, h))
        for w, h, e, words in (
            (161, 121, "mkv", f"{X264} -pix_fmt yuv444p -bf 2"),
            (161, 121, "webm", VP8),
            (161, 121, "mp4", VP9),
            (161, 121, "avi", "-c:v mpeg4 -bf 2"),
            (161, 121, "ogv", "-c:v libtheora"),
            (161, 121, "gif", ""),
            (161, 121, "mov", "-c:v png"),
            (161, 121, "nut", "-c:v ffv1 -pix_fmt yuv420p"),
            (2, 2, "mp4", f"{X264} -bf 2"),
            (2, 2, "webm", VP8),
            (16, 16, "mp4", f"{X264} -bf 2"),
            (16, 16, "mpg", "-c:v mpeg2video"),
            (16, 16, "mkv", VP9),
            (64, 64, "ivf", SVT),
            (1, 1, "avi", "-c:v png"),
            (1, 1, "gif", ""),
            (16, 480, "mp4", f"{X264} -bf 2"),
            (800, 16, "mkv", f"{X264} -bf 2"),
        )
    ),
    Case("wide_pixels.mp4", f"{X264} -vf setsar=4/3"),
    Case("wide_pixels.mpg", "-c:v mpeg2video -aspect 16:9"),
    Case("wide_pixels.mkv", f"{X264} -aspect 2.35"),
    # short videos
    *(
        Case(f"frames_{n}.{e}", words, frames=n)
        for n in (1, 2, 3)
        for e, words in (
            ("mp4", f"{X264} -bf 2"),
            ("mkv", f"{X264} -bf 2"),
            ("ts", f"{X264} -bf 2"),
            ("avi", "-c:v mpeg4 -bf 2"),
            ("mpg", "-c:v mpeg2video -bf 2"),
            ("webm", VP9),
            ("gif", ""),
            ("hevc", f"{X265}:bframes=3"),
        )
    ),
    # rotation
    *(
        Case(f"turned_{turn}.{e}", f"{X264} -g 10", (f"| -c copy -metadata:s:v rotate={turn}",))
        for turn in (90, 180, 270)
        for e in ("mp4", "mov")
    ),
    *(
        Case(f"mirrored_{turn}.mp4", f"{X264} -g 10 -bf 2", turned=(turn, True))
        for turn in (0, 90, 180, 270)
    ),
    # pixels
    *(
        Case(f"{pixels}.{e}", f"{words} -pix_fmt {pixels}")
        for pixels, e, words in (
            ("yuv420p10le", "mp4", f"{X264} -bf 2"),
            ("yuv422p", "mp4", f"{X264} -bf 2"),
            ("yuv422p10le", "mkv", f"{X264} -bf 2"),
            ("yuv444p", "mp4", f"{X264} -bf 2"),
            ("yuv444p10le", "mkv", f"{X264} -bf 2"),
            ("gray", "mp4", f"{X264} -bf 2"),
            ("gray10le", "mkv", f"{X264} -bf 2"),
            ("yuvj420p", "mp4", f"{X264} -bf 2"),
            ("yuv420p10le", "mkv", f"{X265}"),
            ("yuv420p12le", "mp4", f"{X265}"),
            ("gbrp", "mkv", f"{X265}"),
            ("gray", "ts", f"{X265}"),
            ("yuva420p", "webm", f"{VP8} -auto-alt-ref 0"),
            ("yuva444p10le", "mov", "-c:v prores_ks -profile:v 4444"),
            ("yuv444p", "webm", VP9),
            ("yuv420p10le", "webm", f"{VP9} -profile:v 2"),
            ("gbrp", "webm", VP9),
            ("yuv420p10le", "ivf", SVT),
            ("gbrp", "nut", "-c:v ffv1"),
            ("gbrp16le", "mov", "-c:v ffv1"),
            ("yuv411p", "avi", "-c:v ffv1"),
            ("yuv410p", "avi", "-c:v ffv1"),
            ("gray16le", "avi", "-c:v ffv1"),
            ("bgra", "avi", "-c:v ffv1"),
            ("gray", "nut", "-c:v rawvideo"),
            ("monow", "avi", "-c:v rawvideo"),
            ("pal8", "mov", "-c:v qtrle"),
            ("pal8", "avi", "-c:v png"),
            ("rgb555le", "avi", "-c:v rawvideo"),
            ("rgb565le", "nut", "-c:v rawvideo"),
            ("uyvy422", "avi", "-c:v rawvideo"),
            ("nv12", "avi", "-c:v rawvideo"),
            ("rgba", "mov", "-c:v png"),
            ("rgb48be", "mkv", "-c:v png"),
            ("yuvj422p", "mov", "-c:v mjpeg"),
            ("yuvj444p", "mkv", "-c:v mjpeg"),
            ("yuv422p", "ts", "-c:v mpeg2video -bf 2"),
            ("yuv440p", "nut", "-c:v ffv1"),
        )
    ),
    Case("rgb.mkv", "-c:v libx264rgb -preset ultrafast"),
    Case("rgb.mp4", "-c:v libx264rgb -preset ultrafast -bf 2"),
    Case("full_range.mkv", f"{VP9} -color_range pc"),
    Case("full_range.mp4", f"{X265} -vf scale=out_range=full -color_range pc"),
    *(
        Case(f"matrix_{n}.mp4", f"{X264} -bf 2 {TAGS}={n}", plain=n in (1, 4, 5, 6, 7, 9))
        for n in (1, 4, 5, 6, 7, 8, 9, 10, 11, 14)
    ),
    Case(
        "pq.mkv",
        f"{X265} -pix_fmt yuv420p10le -color_trc smpte2084 -colorspace bt2020nc "
        "-color_primaries bt2020",
        toned=True,
    ),
    Case(
        "hlg.mp4",
        f"{X264} -pix_fmt yuv420p10le -color_trc arib-std-b67 -colorspace bt2020nc "
        "-color_primaries bt2020",
        toned=True,
    ),
    # formats with fixed sizes or rates
    *(
        Case(f"dv.{e}", "-c:v dvvideo -pix_fmt yuv420p -s 720x576", frames=8)
        for e in ("dv", "avi", "mov", "mkv", "mxf")
    ),
    *(
        Case(f"dnxhd.{e}", "-c:v dnxhd -s 1280x720 -b:v 60M -pix_fmt yuv422p", frames=6)
        for e in ("mov", "mxf", "mkv")
    ),
    Case("dnxhr.mov", "-c:v dnxhd -profile:v dnxhr_lb -s 320x240 -pix_fmt yuv422p", frames=8),
    Case("gxf_like.mxf", "-c:v mpeg2video -s 720x576 -bf 2 -g 12 -b:v 10M", frames=15),
    # frames that depend on previous ones
    Case("moving.apng", "-vf format=rgba,rotate=n*0.3:c=none"),
    Case("flashing.apng", "-vf negate=enable='mod(n\\,7)'"),
    Case("flashing_moving.apng", "-vf format=rgba,rotate=n*0.3:c=none,negate=enable='mod(n\\,4)'"),
    Case("flashing.gif", "-vf negate=enable='mod(n\\,7)'"),
    Case("flashing.mkv", "-c:v zmbv -vf negate=enable='mod(n\\,7)'"),
    Case("few_colors.gif", "-vf split[a][b];[a]palettegen=8[p];[b][p]paletteuse"),
    Case("transparent.gif", "-vf format=rgba,colorkey=black:0.1"),
    # audio of other lengths and formats
    Case("sound_short.mp4", f"{X264} -c:a aac -filter:a atrim=end=0.4", sound=True),
    Case("sound_long.mkv", f"{X264} -c:a aac -filter:a apad=pad_dur=2", sound=True),
    Case("sound_delayed.mkv", f"{X264} -c:a aac -filter:a adelay=500", sound=True),
    *(
        Case(
            f"pictures_late.{e}",
            f"{X264} -bf 2 -vf setpts=PTS+0.6/TB -vsync passthrough -c:a aac",
            sound=True,
        )
        for e in ("mp4", "mov", "mkv", "ts", "flv")
    ),
    *(
        Case(
            f"sound_late.{e}",
            f"{X264} -bf 2 -af asetpts=PTS+0.4/TB -c:a {codec}",
            sound=True,
        )
        for e, codec in (("mp4", "aac"), ("ts", "aac"), ("mkv", "pcm_s16le"), ("flv", "aac"))
    ),
    Case("sound_gap.mkv", f"{X264} -c:a aac -af aselect='not(between(t\\,0.4\\,0.7))'", sound=True),
    Case(
        "sound_gap_pcm.mkv",
        f"{X264} -c:a pcm_s16le -af aselect='not(between(t\\,0.4\\,0.7))'",
        sound=True,
    ),
    Case(
        "second_sound_default.mkv",
        f"-map 0 -map 1 -map 1 {X264} -c:a aac -filter:a:0 atrim=end=0.4 "
        "-disposition:a:0 0 -disposition:a:1 default",
        sound=True,
    ),
    *(
        Case(
            f"skipped_start_sound.{e}",
            f"{X264} -g 10 -bf 2 -c:a {codec}",
            (CUT,),
            sound=True,
        )
        for e, codec in (("mkv", "libopus"), ("mov", "pcm_s16le"), ("flv", "aac"))
    ),
    *(
        Case(
            f"sound_damaged.{e}",
            f"{VP8 if e == 'webm' else '-c:v mpeg4'} -c:a {codec}",
            ("| -c copy -bsf:a noise=amount='eq(mod(n\\,5)\\,1)*3'",),
            sound=True,
        )
        for e, codec in (
            ("ts", "aac"),
            ("mkv", "aac"),
            ("avi", "libmp3lame"),
            ("webm", "libvorbis"),
        )
    ),
    Case("sound_mp3_11025.mkv", f"{X264} -c:a libmp3lame -ar 11025", sound=True),
    Case("sound_mp3_8000.avi", "-c:v mpeg4 -c:a libmp3lame -ar 8000", sound=True),
    Case("sound_surround.mkv", f"{X264} -c:a aac -ac 6", sound=True),
    Case("sound_surround_pcm.mkv", f"{X264} -c:a pcm_s16le -ac 6", sound=True),
    Case("sound_96k.mkv", f"{X264} -c:a flac -ar 96000", sound=True),
    Case("sound_pcm_odd_rate.avi", "-c:v mpeg4 -c:a pcm_s16le -ar 37800", sound=True),
    Case("sound_pcm_u8.avi", "-c:v mpeg4 -c:a pcm_u8 -ar 11025", sound=True),
    Case("sound_he.mp4", f"{X264} -c:a aac -ar 22050 -ac 1", sound=True),
]


def all_cases() -> list[Case]:
    """All codecs in all containers, all audio codecs, and the structures."""
    plain = [
        Case(
            f"{codec}.{ending}",
            words,
            rate="30000/1001" if ending == "h261" else "25",
            steady=f"{codec}.{ending}" in STEADY,
            error=DRIFT if codec == "theora" else 3.0,
        )
        for codec, (words, endings) in CODECS.items()
        for ending in endings.split()
    ]
    with_sound = [
        Case(
            f"sound_{codec}.{ending}",
            f"{_PICTURES_FOR.get(ending, '-c:v mpeg4 -bf 2')} {words}",
            sound=True,
            error=DRIFT if ending == "ogg" else 3.0,
        )
        for codec, (words, endings) in SOUNDS.items()
        for ending in endings.split()
    ]
    return plain + with_sound + STRUCTURES
