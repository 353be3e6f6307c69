"""Strings that a service may send and that must stay text."""

HOSTILE = (
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "</code></td><style>*{display:none}</style>",
    "javascript:alert(1)//'\"><svg onload=alert(1)>",
    "{{constructor.constructor('alert(1)')()}}",
    "ab\u202egnp.exe\u0000\u0007 \u200bzero",
    "x" * 5000,
    "بيروت ß İ ς 東京 🏙️",
)
