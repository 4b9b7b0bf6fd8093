"""modules.api.api, first part: pictures as text, and errors as JSON."""
import base64
import io

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse
from modules import errors, images
from modules.shared import opts


def decode_base64_to_image(encoding):
    """base64 or a data: URI; addresses are refused (minihost fetches nothing)."""
    if encoding.startswith(("http://", "https://")):
        raise HTTPException(detail="Requests not allowed", status_code=500)
    if encoding.startswith("data:image/"):
        _, _, encoding = encoding.partition(",")
    try:
        return images.read(io.BytesIO(base64.b64decode(encoding)))
    except Exception as error:
        raise HTTPException(detail="Invalid encoded image", status_code=500) from error


def encode_pil_to_base64(image):
    """A string is handed through."""
    if isinstance(image, str):
        return image
    buffer, kind = io.BytesIO(), opts.samples_format.lower()
    if kind == "png":
        image.save(buffer, format="PNG", pnginfo=images._text_chunks(image.info))
    elif kind in ("jpg", "jpeg", "webp"):
        image.convert("RGB").save(buffer, format="WEBP" if kind == "webp" else "JPEG", quality=opts.jpeg_quality,
                                  exif=images._exif_comment(image.info.get("parameters")))
    else:
        raise HTTPException(detail="Invalid image format", status_code=500)
    return base64.b64encode(buffer.getvalue())


def api_middleware(app: FastAPI):
    """An exception becomes JSON with its `status_code`, `detail` and `body` attributes, if it has them."""
    def handle(request: Request, e: Exception):
        known = vars(e)
        err = {"error": type(e).__name__, "detail": known.get("detail", ""), "body": known.get("body", ""), "errors": str(e)}
        if not isinstance(e, HTTPException):
            errors.report(f"API error: {request.method}: {request.url} {err}", exc_info=True)
        return JSONResponse(status_code=known.get("status_code", 500), content=jsonable_encoder(err))

    @app.middleware("http")
    async def catch(request: Request, call_next):
        try:
            return await call_next(request)
        except Exception as error:
            return handle(request, error)

    @app.exception_handler(Exception)
    async def any_exception(request: Request, e: Exception):
        return handle(request, e)

    @app.exception_handler(HTTPException)
    async def http_exception(request: Request, e: HTTPException):
        return handle(request, e)
