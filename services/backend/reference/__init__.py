"""The API's reference: an OpenAPI document made from the endpoints themselves, and a page to browse it."""
